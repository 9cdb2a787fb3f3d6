"""The round again, in NumPy, from the definitions: slow and obvious.

Fields, losses and steps are written out a second time and share no arithmetic with the package.
`Reference.round` goes forward and back as reverse-mode differentiation of the steps;
`Reference.tangent` carries a direction of control and readouts forward.

========  ==========================================================  ============
symbol    meaning                                                     shape
========  ==========================================================  ============
``x``     states                                                      (M, d)
``phi``   features, where f(x, u) = U phi(x)                          (M, r)
``Dphi``  their derivatives                                           (M, r, d)
``Z``     what s acts on, where f(x, u) = A s(W x + c) + b            (M, r)
``K``     what is pulled back through f                               (M, d)
``lam``   dJ/dx: minus the costate                                    (M, d)
``z``     what a loss reads, P x + c                                  (M, q)
========  ==========================================================  ============
"""

from itertools import combinations_with_replacement
from types import SimpleNamespace

import numpy as np
from scipy.special import expit, logsumexp, ndtr, softmax

# s and s'
ACTIVATIONS = {
    "identity": (lambda x: x, np.ones_like),
    "tanh": (np.tanh, lambda x: 4 * expit(2 * x) * expit(-2 * x)),
    "relu": (lambda x: np.where(x > 0, x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1.0, 0.01)),
    "sigmoid": (expit, lambda x: expit(x) * expit(-x)),
    "softplus": (lambda x: np.logaddexp(0.0, x), expit),
    "gelu": (
        lambda x: x * ndtr(x),
        lambda x: ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi),
    ),
    "sin": (np.sin, np.cos),
}
KINKS = ("relu", "leaky_relu")


def reference(dynamics):
    """Say a system again, from what it describes."""
    kinds = {"TwoLayer": TwoLayer, "Outside": Outside, "Neurons": Neurons}
    return kinds.get(type(dynamics).__name__, System)(dynamics)


class System:
    """f(x, u) = U phi(x)."""

    def __init__(self, dynamics):
        self.told = dynamics.describe()
        self.d = self.told["dim"]

    def value(self, x, u):
        """f."""
        return self.features(x)[0] @ self.matrix(u).T

    def pullback(self, x, u, K):
        """(df/dx)' K of every sample, and the sum of (df/du)' K."""
        phi, Dphi = self.features(x)
        return np.einsum("mi,ir,mrj->mj", K, self.matrix(u), Dphi), self.row(K.T @ phi)

    def tangent(self, x, u, dx, du):
        """Derivative of f along (dx, du)."""
        phi, Dphi = self.features(x)
        return np.einsum("ir,mrj,mj->mi", self.matrix(u), Dphi, dx) + phi @ self.matrix(du).T

    def arguments(self, x, u):
        """What the activation acts on, if there is one."""
        return x

    def matrix(self, u):
        """U, times the scale."""
        d = self.d
        if "activation" in self.told:
            U = u[: d * d].reshape(d, d)
            U = np.c_[U, u[d * d :]] if self.told["bias"] else U
        else:  # entry a d + i of a control multiplies phi_a e_i
            U = u.reshape(-1, d).T
        return self.told["scale"] * U

    def row(self, U):
        """Transpose of `matrix`."""
        d = self.d
        U = self.told["scale"] * U
        if "activation" in self.told:
            return np.concatenate([U[:, :d].ravel(), U[:, d:].ravel()])
        return U.T.ravel()

    def features(self, x):
        """Return phi and Dphi."""
        if "activation" in self.told:
            s, slope = ACTIVATIONS[self.told["activation"]]
            phi, Dphi = s(x), slope(x)[:, :, None] * np.eye(self.d)
            if self.told["bias"]:
                phi = np.c_[phi, np.ones(len(x))]
                Dphi = np.concatenate([Dphi, np.zeros((len(x), 1, self.d))], axis=1)
            return phi, Dphi
        phi, Dphi = [np.ones(len(x))], [np.zeros_like(x)]
        gaussian = self.told["fields"] == "gaussian"
        for degree in range(0 if gaussian else 1, self.told["degree"] + 1):
            for variables in combinations_with_replacement(range(self.d), degree):
                value, slope = self.monomial(x, variables)
                if gaussian:
                    G = np.exp(-(x**2).sum(axis=1) / (2 * self.told["width"]))
                    slope = G[:, None] * (slope - value[:, None] * x / self.told["width"])
                    value = G * value
                phi.append(value)
                Dphi.append(slope)
        return np.stack(phi, axis=1), np.stack(Dphi, axis=1)

    @staticmethod
    def monomial(x, variables):
        value, slope = np.ones(len(x)), np.zeros_like(x)
        for v in variables:  # product rule, one factor at a time
            slope = slope * x[:, v, None] + value[:, None] * (np.arange(x.shape[1]) == v)
            value = value * x[:, v]
        return value, slope


class TwoLayer:
    """f(x, u) = A s(W x + c) + b."""

    def __init__(self, dynamics):
        self.told = dynamics.describe()
        self.d = self.told["dim"]
        self.r = self.told.get("hidden") or self.told.get("particles") or self.d
        self.s, self.slope = ACTIVATIONS[self.told["activation"]]

    def parts(self, u):
        """A, W, c, b, linear in u; the scale is in A and b."""
        d, r, scale = self.d, self.r, self.told["scale"]
        A, W = u[: d * r].reshape(d, r), u[d * r : 2 * d * r].reshape(r, d)
        c, b = np.zeros(r), np.zeros(d)
        if self.told["bias"]:
            c, b = u[2 * d * r : 2 * d * r + r], u[2 * d * r + r :]
        return scale * A, W, c, scale * b

    def row(self, A, W, c, b):
        """Transpose of `parts`."""
        scale = self.told["scale"]
        biases = [c, scale * b] if self.told["bias"] else []
        return np.concatenate([scale * A.ravel(), W.ravel(), *biases])

    def weights(self, u):
        """A, W, c, b of f itself."""
        return self.parts(u)

    def arguments(self, x, u):
        _, W, c, _ = self.weights(u)
        return x @ W.T + c

    def value(self, x, u):
        A, _, _, b = self.weights(u)
        return self.s(self.arguments(x, u)) @ A.T + b

    def pullback(self, x, u, K):
        A, W, _, _ = self.weights(u)
        Z = self.arguments(x, u)
        R = self.slope(Z) * (K @ A)
        return R @ W, self.row(K.T @ self.s(Z), R.T @ x, R.sum(axis=0), K.sum(axis=0))

    def tangent(self, x, u, dx, du):
        A, W, _, _ = self.weights(u)
        dA, dW, dc, db = self.parts(du)
        Z = self.arguments(x, u)
        return (self.slope(Z) * (dx @ W.T + x @ dW.T + dc)) @ A.T + self.s(Z) @ dA.T + db


class Outside(TwoLayer):
    """f(x, u) = s(W x + c): A is the identity, times the scale."""

    def parts(self, u):
        d = self.d
        c = u[d * d :] if self.told["bias"] else np.zeros(d)
        return np.zeros((d, d)), u[: d * d].reshape(d, d), c, np.zeros(d)

    def row(self, A, W, c, b):
        return np.concatenate([W.ravel(), c]) if self.told["bias"] else W.ravel()

    def weights(self, u):
        return self.told["scale"] * np.eye(self.d), *self.parts(u)[1:]


class Neurons(TwoLayer):
    """f(x, u) = (1/K) sum_j a_j s(<w_j, x> + c_j): particle by particle in the control."""

    def parts(self, u):
        d, K = self.d, self.r
        a, w, c = np.split(u.reshape(K, 2 * d + 1), [d, 2 * d], axis=1)
        return self.told["scale"] / K * a.T, w, c[:, 0], np.zeros(d)

    def row(self, A, W, c, b):
        return np.c_[self.told["scale"] / self.r * A.T, W, c].ravel()


class Cost:
    """A loss of (z, y): values and gradients in z."""

    def __init__(self, loss, targets, count, outputs):
        self.loss, self.told = loss, loss.describe()
        self.kind = type(loss).__name__
        if self.kind in ("Squared", "Huber"):
            y = np.zeros((count, outputs)) if targets is None else np.asarray(targets, float)
            self.y = y.reshape(count, -1)
        else:
            labels = np.ravel(targets).tolist()
            names = sorted(set(labels))
            if self.kind == "CrossEntropy" and all(
                type(name) is int and 0 <= name < self.told["classes"] for name in names
            ):
                names = list(range(self.told["classes"]))
            self.y = np.array([names.index(label) for label in labels])

    def value(self, z):
        if self.kind == "Squared":
            return self.told["weight"] * ((z - self.y) ** 2).sum(axis=1)
        if self.kind == "Huber":
            e, delta = abs(z - self.y), self.told["delta"]
            return np.where(e <= delta, e**2 / 2, delta * (e - delta / 2)).sum(axis=1)
        if self.kind == "Logistic":
            return np.logaddexp(0.0, np.where(self.y == 1, -1, 1) * z[:, 0])
        return logsumexp(z, axis=1) - z[np.arange(len(z)), self.y]

    def gradient(self, z):
        if self.kind == "Squared":
            return 2 * self.told["weight"] * (z - self.y)
        if self.kind == "Huber":
            e, delta = z - self.y, self.told["delta"]
            return np.where(abs(e) <= delta, e, delta * np.sign(e))
        if self.kind == "Logistic":
            return expit(z) - (self.y == 1)[:, None]
        return softmax(z, axis=1) - np.eye(z.shape[1])[self.y]


class Reference:
    """The sampled costs of a problem and their derivatives.

    Controls are (N, c); readouts are pairs (P, c), by role: terminal, running.
    """

    def __init__(self, problem):
        self.system = reference(problem.dynamics)
        self.t, self.alpha = problem.times, problem.running_weight
        self.A, self.b = np.asarray(problem.scheme.A), np.asarray(problem.scheme.b)
        self.x = np.asarray(problem.initial_states, float)
        self.w = np.asarray(problem.weights, float)
        self.costs = [
            None
            if loss is None
            else Cost(loss, problem.targets, len(self.x), problem.outputs[role])
            for role, loss in enumerate((problem.terminal_cost, problem.running_cost))
        ]

    def read(self, role, readouts):
        """P and c between state and loss."""
        loss = self.costs[role].loss
        if loss.trained:
            return readouts[role]
        P = np.eye(self.system.d) if loss.readout is None else loss.readout
        return P, np.zeros(len(P))

    def price(self, role, x, readouts):
        """Weighted mean of a cost at states x."""
        P, c = self.read(role, readouts)
        return self.w @ self.costs[role].value(x @ P.T + c)

    def slope(self, role, x, readouts):
        """Its gradients in x, P and c."""
        P, c = self.read(role, readouts)
        dz = self.w[:, None] * self.costs[role].gradient(x @ P.T + c)
        return dz @ P, dz.T @ x, dz.sum(axis=0)

    def forward(self, u, readouts):
        """States, the states and the arguments of s of all stages, and both costs."""
        x, states, stages, arguments, running = self.x, [self.x], [], [], 0.0
        for k, h in enumerate(np.diff(self.t)):
            Y, K = [], []
            for i in range(len(self.b)):
                Y.append(x + h * sum(self.A[i, j] * K[j] for j in range(i)))
                K.append(self.system.value(Y[i], u[k]))
                arguments.append(self.system.arguments(Y[i], u[k]))
                if self.costs[1]:
                    running += self.alpha * h * self.b[i] * self.price(1, Y[i], readouts)
            x = x + h * sum(b * slope for b, slope in zip(self.b, K, strict=True))
            states.append(x)
            stages.append(Y)
        terminal = self.price(0, x, readouts) if self.costs[0] else 0.0
        return SimpleNamespace(
            states=np.array(states), stages=np.array(stages), arguments=np.array(arguments),
            terminal=terminal, running=running,
        )  # fmt: skip

    def round(self, u, readouts=(None, None)):
        """Forward, and back by the chain rule."""
        done = self.forward(u, readouts)
        bars = [[0.0, 0.0], [0.0, 0.0]]  # dJ/dP, dJ/dc by role
        lam = np.zeros_like(self.x)
        if self.costs[0]:
            lam, *bars[0] = self.slope(0, done.states[-1], readouts)
        costates, g = [-lam], []
        for k in reversed(range(len(u))):
            h = self.t[k + 1] - self.t[k]
            x_bar, u_bar, Y_bar = lam, 0.0, {}
            for i in reversed(range(len(self.b))):
                later = range(i + 1, len(self.b))
                K_bar = h * self.b[i] * lam + h * sum(self.A[j, i] * Y_bar[j] for j in later)
                Y_bar[i], du = self.system.pullback(done.stages[k, i], u[k], K_bar)
                u_bar = u_bar + du
                if self.costs[1]:
                    share = self.alpha * h * self.b[i]
                    dx, dP, dc = self.slope(1, done.stages[k, i], readouts)
                    Y_bar[i] = Y_bar[i] + share * dx
                    bars[1] = [bars[1][0] + share * dP, bars[1][1] + share * dc]
                x_bar = x_bar + Y_bar[i]
            lam = x_bar
            costates.append(-lam)
            g.append(-u_bar / h)
        done.g, done.costates = np.array(g[::-1]), np.array(costates[::-1])
        done.readouts = tuple(
            bars[i] if self.costs[i] and self.costs[i].loss.trained else None for i in (0, 1)
        )
        return done

    def tangent(self, u, du, readouts=(None, None), d_readouts=(None, None)):
        """Derivatives of states and costs along a direction of control and readouts."""
        done = self.forward(u, readouts)
        dx, d_states, d_running = np.zeros_like(self.x), [np.zeros_like(self.x)], 0.0

        def along(role, x, dx):
            grad_x, grad_P, grad_c = self.slope(role, x, readouts)
            total = (grad_x * dx).sum()
            if d_readouts[role] is not None:
                dP, dc = d_readouts[role]
                total += (grad_P * dP).sum() + (grad_c * dc).sum()
            return total

        for k, h in enumerate(np.diff(self.t)):
            dK = []
            for i in range(len(self.b)):
                Y = done.stages[k, i]
                dY = dx + h * sum(self.A[i, j] * dK[j] for j in range(i))
                dK.append(self.system.tangent(Y, u[k], dY, du[k]))
                if self.costs[1]:
                    d_running += self.alpha * h * self.b[i] * along(1, Y, dY)
            dx = dx + h * sum(b * slope for b, slope in zip(self.b, dK, strict=True))
            d_states.append(dx)
        d_terminal = along(0, done.states[-1], dx) if self.costs[0] else 0.0
        return SimpleNamespace(states=np.array(d_states), cost=d_terminal + d_running)
