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

# GC_STATIC(VARIABLE, NAME, FUNCTION, [OTHER-LIBRARIES]): link the static library in place of -lNAME
# in VARIABLE if there is one that links; gc_cv_static_NAME tells.
AC_DEFUN([GC_STATIC], [
  AC_CACHE_CHECK([for a static lib$2], [gc_cv_static_$2], [
    gc_saved_CFLAGS=$CFLAGS gc_saved_LIBS=$LIBS
    CFLAGS="$CFLAGS -no-pie"
    LIBS="`AS_ECHO([" $$1 "]) | sed 's/ -l$2 / -l:lib$2.a /'` $4 $LIBS"
    AC_LINK_IFELSE([AC_LANG_CALL([], [$3])], [gc_cv_static_$2=yes], [gc_cv_static_$2=no])
    CFLAGS=$gc_saved_CFLAGS LIBS=$gc_saved_LIBS
  ])
  AS_IF([test $gc_cv_static_$2 = yes], [$1=`AS_ECHO([" $$1 "]) | sed 's/ -l$2 / -l:lib$2.a /'`])
])
