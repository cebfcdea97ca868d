// part of dl.c: the same code as its twin but for the size of the frame
// build: -Wl,--build-id=0xb1b2b3b4
int call(int (*function)(void)) {
    volatile char room[4000];
    room[1] = 1;
    int result = function();
    return result + room[1];
}
