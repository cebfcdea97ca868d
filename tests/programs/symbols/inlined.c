// part: calls through inlined functions.
void dump_stack(void);

static inline __attribute__((always_inline)) void innermost(void)
{
    dump_stack(); // line: innermost
    __asm__ volatile("");
}

static inline __attribute__((always_inline)) void middle(void)
{
    innermost(); // line: middle
    __asm__ volatile("");
}

static __attribute__((noinline)) void outer(void)
{
    middle(); // line: outer
    __asm__ volatile("");
}

int main(void)
{
    outer(); // line: main
    return 0;
}
