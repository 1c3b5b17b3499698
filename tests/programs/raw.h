/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program without a C library: it makes the system calls that its source
 * says and no other, so that a test can state an exact count.
 *
 * Define entry(); its result is passed to exit_group, the last call.
 */
#ifndef EBPH_TESTS_RAW_H
#define EBPH_TESTS_RAW_H

#include <asm/unistd.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time.h>

static int entry(int argc, char **argv);

#if defined(__x86_64__)

static inline __attribute__((always_inline)) long sys6(long number, long a, long b, long c, long d,
						       long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call raw_main\n"
	"	hlt\n");

/* The kernel asks for a restorer on x86: the handler returns into it. */
__asm__("raw_restorer:\n"
	"	mov $15, %eax\n"
	"	syscall\n");
extern void raw_restorer(void);
#define RAW_RESTORER 0x04000000

/* clone(flags, stack, NULL, tid, 0); the new thread takes run and its argument off its stack. */
long raw_clone(unsigned long flags, void *stack, int *tid, void (*run)(void *), void *argument);
__asm__(".globl raw_clone\n"
	"raw_clone:\n"
	"	sub $16, %rsi\n"
	"	mov %rcx, (%rsi)\n"
	"	mov %r8, 8(%rsi)\n"
	"	mov %rdx, %r10\n"
	"	xor %edx, %edx\n"
	"	xor %r8d, %r8d\n"
	"	mov $56, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xor %ebp, %ebp\n"
	"	pop %rax\n"
	"	pop %rdi\n"
	"	call *%rax\n"
	"	hlt\n");

#elif defined(__aarch64__)

static inline __attribute__((always_inline)) long sys6(long number, long a, long b, long c, long d,
						       long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x0, sp\n"
	"	bl raw_main\n");

__asm__("raw_restorer:\n"
	"	mov x8, #139\n"
	"	svc #0\n");
extern void raw_restorer(void);
#define RAW_RESTORER 0x04000000

long raw_clone(unsigned long flags, void *stack, int *tid, void (*run)(void *), void *argument);
__asm__(".globl raw_clone\n"
	"raw_clone:\n"
	"	mov x9, x3\n"
	"	mov x10, x4\n"
	"	mov x4, x2\n"
	"	mov x2, #0\n"
	"	mov x3, #0\n"
	"	mov x8, #220\n"
	"	svc #0\n"
	"	cbz x0, 1f\n"
	"	ret\n"
	"1:	mov x29, #0\n"
	"	mov x0, x10\n"
	"	blr x9\n");
#else
#error "tests/programs/raw.h knows x86_64 and aarch64"
#endif

#define sys0(n) sys6(n, 0, 0, 0, 0, 0, 0)
#define sys1(n, a) sys6(n, (long)(a), 0, 0, 0, 0, 0)
#define sys2(n, a, b) sys6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys3(n, a, b, c) sys6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys4(n, a, b, c, d) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* Enough of struct kernel_sigaction: the C library's has another shape. */
struct raw_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

static inline long raw_sigaction(int signal, void (*handler)(int), unsigned long flags)
{
	struct raw_action action = { handler, flags | RAW_RESTORER, raw_restorer, 0 };

	return sys4(__NR_rt_sigaction, signal, &action, 0, 8);
}

static inline unsigned long number(const char **text)
{
	unsigned long value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + (unsigned long)(*(*text)++ - '0');
	return value;
}

static inline int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static inline void repeat(unsigned long times, long call)
{
	while (times--)
		sys0(call);
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
	__asm__ volatile("pause" ::: "memory");
#else
	__asm__ volatile("yield" ::: "memory");
#endif
}

__attribute__((noreturn)) static inline void leave(int status)
{
	for (;;)
		sys1(__NR_exit_group, status);
}

__attribute__((noreturn, used)) void raw_main(long *stack);
void raw_main(long *stack)
{
	leave(entry((int)stack[0], (char **)(stack + 1)));
}

#endif
