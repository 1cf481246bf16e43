# Standard errors of two mixtures by flexmix: Rscript flexmix.R in this directory.
#
# EM starts from the labels of the data and is converged far beyond the default; refit then
# maximises the log-likelihood itself by quasi-Newton steps and inverts its Hessian.
# Concomitant coefficients are log-odds against the first component; spreads are log(sigma).

library(flexmix)
library(jsonlite)

fit <- function(name, driver) {
  data <- read.csv(gzfile(paste0(name, ".csv.gz")))
  features <- grep("^x", names(data), value = TRUE)
  gate <- as.formula(paste("~", paste(features, collapse = " + ")))
  control <- list(iter.max = 5000, tolerance = 1e-13, minprior = 0)
  expert <- as.formula(paste("y ~", paste(features, collapse = " + ")))
  model <- flexmix(expert,
    data = data, k = 3, cluster = data$z, model = driver,
    concomitant = FLXPmultinom(gate), control = control
  )
  # Differences of the exact gradient; steps of 1e-5 leave the Hessian an error of 1e-6.
  refitted <- refit(model,
    method = "optim",
    optim_control = list(maxit = 2000, reltol = 1e-15, ndeps = rep(1e-5, model@df))
  )
  std_error <- setNames(sqrt(diag(refitted@vcov)), names(refitted@coef))
  list(
    version = as.character(packageVersion("flexmix")),
    log_likelihood = as.numeric(logLik(model)),
    coef = as.list(refitted@coef),
    std_error = as.list(std_error)
  )
}

fits <- list(
  G1 = fit("G1", FLXMRglm()),
  P1 = fit("P1", FLXMRglm(family = "poisson"))
)
write_json(fits, "flexmix.json", digits = NA, auto_unbox = TRUE, pretty = TRUE)
