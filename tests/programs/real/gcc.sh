# needs: gcc
# says: compiled
# says: ended with 3
# sees: file process
# The compiler: one file through preprocessor, compiler, assembler and linker, and one with an error.
printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 3; }\n' > one.c
gcc -O2 -pipe -g -Wall one.c -o one && ./one
echo "ended with $?"
gcc -E one.c | wc -l
printf 'int main(void) { return nothing; }\n' > wrong.c
LC_ALL=C gcc wrong.c -o wrong 2> said; echo "gcc ended with $?"; head -n 2 said
