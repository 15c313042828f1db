#pragma once
// Whether this build runs under AddressSanitizer or ThreadSanitizer: slow, and with memory of its own beside the program's.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLUME_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PLUME_TEST_SANITIZED 1
#endif
#endif

namespace plume_test {

#if defined(PLUME_TEST_SANITIZED)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif

}  // namespace plume_test
