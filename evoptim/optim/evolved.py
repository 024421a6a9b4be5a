"""Any genome as a ``torch.optim.Optimizer``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.optim.optimizer import ParamsT

from evoptim.genome import Genome
from evoptim.optim.rule_optimizer import OptimizerOptions, RuleOptimizer
from evoptim.update import genome_formula

if TYPE_CHECKING:
    from typing_extensions import Unpack


class EvolvedOptimizer(RuleOptimizer):
    r"""Trains with the update rule that a genome describes.

    At step t of T, with rate :math:`\eta_t` and coefficient :math:`\mu_t` from the base schedule
    (:mod:`evoptim.schedule`: linear warm-up, hold, half a cosine down to 0):

    .. math::
        u_t = \text{update graph}(g_t, w_t, \hat v_t, \ldots), \qquad d_t = -\text{sign} \cdot u_t

    ========== =================================================================================
    momentum   movement
    ========== =================================================================================
    none       :math:`w \leftarrow w + \eta_t d_t`
    heavy-ball :math:`m \leftarrow \mu_t m + \eta_t d_t;\ w \leftarrow w + m`
    nesterov   :math:`m \leftarrow \mu_t m + \eta_t d_t;\ w \leftarrow w + m + \eta_t d_t`
    ========== =================================================================================

    Source: Morgan & Hougen, arXiv 2404.06679.

    Args:
        params: Tensors to optimize, or dicts that define parameter groups.
        genome: The update rule, as a value or as text (``"None ~ id(v hat)"``).
        lr: Peak learning rate, at least 0. Rates near 1 are common among evolved rules.
        options: The keyword arguments of :class:`evoptim.optim.RuleOptimizer`: ``total_steps``,
            ``warmup_steps``, ``hold_steps``, ``weight_decay``, ``fused`` and the others.

    State for every weight tensor: the tensors of :meth:`evoptim.genome.Genome.state_slots`, each
    of the weight's shape, and ``step``, the number of gradients seen.

    Raises:
        InputError: an argument is out of range, the genome is no genome, or it has decay
            functions and there is no ``total_steps``.

    Example:
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = EvolvedOptimizer(
        ...     model.parameters(), "Nest ~ id(arcsinh(v hat))", lr=0.1, total_steps=100
        ... )
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(8, 4)).square().mean().backward()
        ...     optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        genome: Genome | str,
        *,
        lr: float | Tensor,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.genome = Genome.parse(genome) if isinstance(genome, str) else genome
        super().__init__(params, genome_formula(self.genome), lr=lr, **options)
