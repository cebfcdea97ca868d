/* resshim.hpp: resources of your own as C++ values, C++11 and later.
 *
 *     class Session {
 *         resshim::tracked tracked_{"session", this, "alice"};
 *     };
 *
 * What owns a guard is live in resshim's report from its construction to its destruction. Like resshim.h,
 * which this is made of, it does nothing without the shim, throws nothing and allocates nothing.
 */
#ifndef RESSHIM_HPP
#define RESSHIM_HPP

#include "resshim.h"

#include <cstdint>

namespace resshim {

/* One live resource. Moves like std::unique_ptr: whoever holds it last releases it.
 *
 * `kind` is kept as a pointer: a string literal, or something else that lives as long as the guard. The label
 * is copied. A handle names the resource within its kind; that of an object is its address where the guard
 * was made, also when the object moves later. */
class tracked {
public:
    /* Guards nothing. */
    tracked() noexcept : kind_(nullptr), handle_(0) {}

    tracked(const char *kind, std::uint64_t handle, const char *label = nullptr) noexcept
        : kind_(kind), handle_(handle)
    {
        resshim_acquire(kind_, handle_, label);
    }

    tracked(const char *kind, const void *object, const char *label = nullptr) noexcept
        : kind_(kind), handle_(reinterpret_cast<std::uintptr_t>(object))
    {
        resshim_acquire(kind_, handle_, label);
    }

    tracked(tracked &&other) noexcept : kind_(other.kind_), handle_(other.handle_)
    {
        other.kind_ = nullptr;
    }

    tracked &operator=(tracked &&other) noexcept
    {
        if (this != &other) {
            release();
            kind_ = other.kind_;
            handle_ = other.handle_;
            other.kind_ = nullptr;
        }
        return *this;
    }

    tracked(const tracked &) = delete;
    tracked &operator=(const tracked &) = delete;

    ~tracked() { release(); }

    /* It goes to another state. */
    void state(const char *name) const noexcept
    {
        if (kind_)
            resshim_state(kind_, handle_, name);
    }

    /* It needs another one: relation is a word such as "waits-for". */
    void depends(const tracked &other, const char *relation) const noexcept
    {
        if (kind_ && other.kind_)
            resshim_depends(kind_, handle_, other.kind_, other.handle_, relation);
    }

    /* Ends it now; a second time nothing happens. */
    void release() noexcept
    {
        if (kind_)
            resshim_release(kind_, handle_);
        kind_ = nullptr;
    }

    /* Whether it guards something. */
    explicit operator bool() const noexcept { return kind_ != nullptr; }

    /* Its number within its kind. */
    std::uint64_t handle() const noexcept { return handle_; }

private:
    const char *kind_;
    std::uint64_t handle_;
};

} // namespace resshim

#endif
