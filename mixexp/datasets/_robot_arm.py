"""Forward dynamics of a robot arm: which accelerations follow from torques.

The arm moves in a vertical plane. Link j = 1..4 is a uniform rod of length l_j and mass m_j,
driven by a torque at its joint; theta_j is its angle to the horizontal, the sum of the first j
joint angles q. With a_ij the distance along link j to the centre of link i (l_j for j < i,
l_j / 2 for j = i, 0 beyond), the kinetic and potential energies are

    T = 1/2 sum_jk A_jk cos(theta_j - theta_k) theta'_j theta'_k
    V = gravity * sum_j G_j sin(theta_j)
    A_jk = sum_i m_i a_ij a_ik + [j = k] m_j l_j**2 / 12,    G_j = sum_i m_i a_ij

and Lagrange's equations, with viscous friction b in every joint, are

    sum_k A_jk cos(theta_j - theta_k) theta''_k = tau_j - b q'_j - (tau_{j+1} - b q'_{j+1})
        - sum_k A_jk sin(theta_j - theta_k) theta'_k**2 - gravity G_j cos(theta_j)

with tau_5 = q'_5 = 0. The outputs are q''_j = theta''_j - theta''_{j-1}.
"""

from typing import Any

import numpy as np

from mixexp.arguments import check_count
from mixexp.datasets._checks import check_size, make_generator

# Metres and kilograms: links get shorter and lighter towards the hand.
LENGTHS = np.array([0.5, 0.4, 0.3, 0.2])
MASSES = np.array([4.0, 3.0, 2.0, 1.0])
GRAVITY = 9.81
# Newton metres per radian per second.
FRICTION = 0.5

# Ranges that inputs are drawn from, on either side of zero: radians, radians per second, and
# newton metres, about what holds the stretched arm at each joint.
_ANGLES = np.array([np.pi, 2.0, 2.0, 2.0])
_VELOCITIES = np.array([2.0, 2.0, 2.0, 2.0])
_TORQUES = np.array([70.0, 30.0, 10.0, 2.0])


def make_robot_arm(
    n_samples: int = 15000, *, noise: float = 0.0, random_state: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate the forward dynamics of a robot arm with four joints.

    The problem that Jordan & Jacobs (1994) tried hierarchical mixtures of experts on:
    predict four joint accelerations from twelve inputs. Theirs moves in space and its data
    are not public; this one moves in a plane. With theta the links' angles to the horizontal
    (cumulative sums of the joint angles q), Lagrange's equations are

    ``sum_k A_jk cos(theta_j - theta_k) theta''_k = tau_j - tau_{j+1} - b (q'_j - q'_{j+1})
    - sum_k A_jk sin(theta_j - theta_k) theta'_k**2 - gravity G_j cos(theta_j)``

    with ``A_jk = sum_i m_i a_ij a_ik + [j = k] m_j l_j**2 / 12``, ``G_j = sum_i m_i a_ij`` and
    a_ij the distance along link j to the centre of mass of link i. Links are uniform rods of
    0.5, 0.4, 0.3 and 0.2 m and 4, 3, 2 and 1 kg; gravity is 9.81 m/s**2, the friction b of each
    joint 0.5 N m s.

    Parameters
    ----------
    n_samples : int, default=15000
        As many as they trained on.
    noise : float, default=0.0
        Standard deviation of Gaussian noise on each acceleration, as a share of the standard
        deviation of that acceleration.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, 12)
        Four joint angles (rad), the first uniform between -pi and pi, the others between -2 and
        2; four joint velocities (rad/s), uniform between -2 and 2; four torques (N m), uniform
        between -+70, -+30, -+10 and -+2. From the shoulder to the hand.
    y : ndarray of shape (n_samples, 4)
        Joint accelerations, rad/s**2. Estimators take one column at a time.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.

    References
    ----------
    Jordan & Jacobs (1994), Hierarchical mixtures of experts and the EM algorithm, Neural
    Computation 6.

    Examples
    --------
    >>> from mixexp.datasets import make_robot_arm
    >>> X, y = make_robot_arm(200, random_state=0)
    >>> X.shape, y.shape
    ((200, 12), (200, 4))
    """
    n, share = check_count("n_samples", n_samples), check_size("noise", noise)
    rng = make_generator(random_state)
    limits = np.concatenate([_ANGLES, _VELOCITIES, _TORQUES])
    X = rng.uniform(-limits, limits, (n, len(limits)))
    y = accelerations(X[:, :4], X[:, 4:8], X[:, 8:])
    return X, y + share * y.std(axis=0) * rng.standard_normal(y.shape)


def accelerations(
    angles: np.ndarray, velocities: np.ndarray, torques: np.ndarray, friction: float = FRICTION
) -> np.ndarray:
    """Solve the equations of motion for the joint accelerations, all of shape (n, 4)."""
    theta, omega = np.cumsum(angles, axis=1), np.cumsum(velocities, axis=1)
    inertia, moment = _mass_matrix()
    apart = theta[:, :, None] - theta[:, None, :]
    driven = torques - friction * velocities
    # A joint's torque acts on its own link, and back on the one before.
    force = driven - np.append(driven[:, 1:], np.zeros((len(driven), 1)), axis=1)
    force -= np.einsum("njk,nk->nj", inertia * np.sin(apart), omega**2)
    force -= GRAVITY * moment * np.cos(theta)
    angular = np.linalg.solve(inertia * np.cos(apart), force[:, :, None])[:, :, 0]
    return np.diff(angular, axis=1, prepend=0.0)


def energy(angles: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Return kinetic plus potential energy in joules, shape (n,)."""
    theta, omega = np.cumsum(angles, axis=1), np.cumsum(velocities, axis=1)
    inertia, moment = _mass_matrix()
    apart = theta[:, :, None] - theta[:, None, :]
    kinetic = 0.5 * np.einsum("nj,njk,nk->n", omega, inertia * np.cos(apart), omega)
    return kinetic + GRAVITY * np.sin(theta) @ moment


def _mass_matrix() -> tuple[np.ndarray, np.ndarray]:
    """Return A of shape (4, 4) and G of shape (4,)."""
    n_links = len(LENGTHS)
    reach = np.tril(np.tile(LENGTHS, (n_links, 1)), -1) + np.diag(0.5 * LENGTHS)
    inertia = (reach.T * MASSES) @ reach + np.diag(MASSES * LENGTHS**2 / 12.0)
    return inertia, MASSES @ reach
