"""95 % intervals of a share. Pure.

`wilson`: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927) 209-212.
`clustered`: the same with the effective size of a sample that was drawn in clusters (here: programs), n / deff with the
t quantiles' ratio, after E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small expected number
of positive counts estimated from survey data, Survey Methodology 24 (1998) 193-201. deff is the linearised variance of
the ratio over the binomial one, at least 1. At a share of 0 or 1 no variation between clusters can be seen and deff is 1:
the interval is then that of `wilson`; so it is for one program alone."""
import math

Z = 1.959963984540054


def wilson(hits, of, size=None):
    """Low and high; `size` is the effective number where it is not `of`."""
    if not of:
        return 0.0, 1.0
    n, share = size or of, hits / of
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def student(freedom):
    """The 97.5 % quantile of Student's t, by bisection of its integrated density."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)

    def below(limit, steps=400):
        step = limit / steps
        heights = [(1 + (step * i) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)]
        return 0.5 + scale * step / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))

    low, high = 1.0, 13.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if below(middle) > 0.975 else (middle, high)
    return low


def effect(clusters):
    """The design effect of (hits, of) by cluster."""
    clusters = [one for one in clusters if one[1]]
    hits, of, m = sum(one[0] for one in clusters), sum(one[1] for one in clusters), len(clusters)
    if m < 2 or hits in (0, of):
        return 1.0
    share = hits / of
    variance = m / (m - 1) * sum((x - share * n) ** 2 for x, n in clusters) / of ** 2
    return max(1.0, variance / (share * (1 - share) / of))


def clustered(clusters):
    clusters = [one for one in clusters if one[1]]
    hits, of, m = sum(one[0] for one in clusters), sum(one[1] for one in clusters), len(clusters)
    if m < 2 or hits in (0, of):
        return wilson(hits, of)
    size = of / effect(clusters) * min(1.0, (student(of - 1) / student(m - 1)) ** 2)
    return wilson(hits, of, size)
