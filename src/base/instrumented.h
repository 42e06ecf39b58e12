/* Is this a build with the address sanitizer? It needs system calls of its own, and looks for leaks at the end. */
#ifndef BASE_INSTRUMENTED_H
#define BASE_INSTRUMENTED_H

#if defined(__SANITIZE_ADDRESS__)
#define GC_INSTRUMENTED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GC_INSTRUMENTED true
#endif
#endif
#ifndef GC_INSTRUMENTED
#define GC_INSTRUMENTED false
#endif

#endif
