# GC_ADD_FLAG(VARIABLE, FLAG): append FLAG to VARIABLE if the compiler knows it.
# Unknown -W flags are only warned about by clang, hence -Werror while trying.
AC_DEFUN([GC_ADD_FLAG], [
  AS_VAR_PUSHDEF([known], [gc_cv_flag_$2])
  AC_CACHE_CHECK([whether $CC knows $2], [known], [
    gc_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AS_VAR_SET([known], [yes])],
                   [AS_VAR_SET([known], [no])])
    CFLAGS=$gc_saved_CFLAGS
  ])
  AS_VAR_IF([known], [yes], [$1="$$1 $2"])
  AS_VAR_POPDEF([known])
])

# GC_REQUIRE_FLAG(VARIABLE, FLAG, OPTION): the same, or an error about OPTION.
AC_DEFUN([GC_REQUIRE_FLAG], [
  GC_ADD_FLAG([$1], [$2])
  AS_CASE([" $$1 "], [*" $2 "*], [], [AC_MSG_ERROR([$3: $CC does not support $2])])
])
