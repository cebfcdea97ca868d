// library: in_library_part.c
void from_library(void);

int main(void)
{
    from_library();
    return 0;
}
