# needs: make gcc
# says: program ended with 28
# sees: file pipe process
# A C program of eight files, built by `make -j4` with its jobserver, then run.
for i in 1 2 3 4 5 6 7; do
    printf '#include <stdio.h>\nint part%d(int n) { printf("part %d of %%d\\n", n); return n + %d; }\n' \
        "$i" "$i" "$i" > "part$i.c"
done
{
    for i in 1 2 3 4 5 6 7; do echo "int part$i(int);"; done
    echo 'int main(void) { int n = 0;'
    for i in 1 2 3 4 5 6 7; do echo "n = part$i(n);"; done
    echo 'return n; }'
} > main.c
printf 'all: program\nobjects = main.o part1.o part2.o part3.o part4.o part5.o part6.o part7.o\n' > Makefile
printf 'program: $(objects)\n\t@$(CC) -o $@ $^\n%%.o: %%.c\n\t@$(CC) -O1 -c -o $@ $<\n' >> Makefile
printf 'sub:\n\t@+$(MAKE) --no-print-directory -C . -n all | wc -l\n' >> Makefile
make -s -j4 && ./program
echo "program ended with $?"
make -j4 sub
make -s absent 2>/dev/null
echo "make ended with $?"
