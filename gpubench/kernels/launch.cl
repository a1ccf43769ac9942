/* The least that a kernel can do and still show that it ran: each group stores one word in its own place. */

KERNEL(launch_mark)(GLOBAL WORD *marks, u64 number, u64 start) {
    const u64 place = number * GROUP_COUNT + GROUP_ID;
    if (LOCAL_ID == 0) marks[place] = (WORD)(start + place * COUNTER_STEP);
}

CHECK_KERNELS(marks, i, (WORD)(p + i * COUNTER_STEP))
