/* Closes the descriptor of a stream; the stream's own close then fails, or ends what has the number by now. */
#include <dirent.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void under_file(void)
{
    FILE *file = fopen("/etc/passwd", "r");
    close(fileno(file));
    fclose(file);
}

static void under_directory(void)
{
    DIR *directory = opendir("/");
    close(dirfd(directory));
    closedir(directory);
}

static void hits_another(void)
{
    FILE *file = fopen("/etc/passwd", "r");
    close(fileno(file));
    int bystander = socket(AF_UNIX, SOCK_STREAM, 0);
    fclose(file);
    close(bystander);
}

int main(void)
{
    for (int i = 0; i < 5; i++) {
        under_file();
        under_directory();
        hits_another();
    }
    return 0;
}
