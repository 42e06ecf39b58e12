// Dies in the way that its argument names.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

type MyErr struct{ Code int }

func (e *MyErr) Error() string { return fmt.Sprintf("my error %d", e.Code) }

type ValErr struct {
	A, B int
}

func (e ValErr) Error() string { return "val error" }

type Str struct{ n int }

func (s Str) String() string { return "stringer " + strconv.Itoa(s.n) }

type MyString string
type MyInt int
type MyFloat float64
type MyBool bool
type StrErr string

func (e StrErr) Error() string { return "strerr:" + string(e) }

type BadErr struct{}

func (e BadErr) Error() string { panic("no text") }

type WorseErr struct{}

func (e WorseErr) Error() string { panic(Str{1}) }

type IntErr int

func (e IntErr) Error() string { return "interr " + strconv.Itoa(int(e)) }

var idx = 7
var sl = []int{1, 2, 3}
var str = "abc"
var zero int
var nilmap map[string]int
var nilp *MyErr
var iface interface{} = "a string"
var nilIface interface{}
var funcs map[interface{}]int = map[interface{}]int{}

type Iface interface{ Foo() }

//go:noinline
func f(name string) {
	neg := -zero - 3
	switch name {
	case "string":
		panic("plain text\nwith two lines")
	case "errors":
		panic(errors.New("an error"))
	case "errorf":
		panic(fmt.Errorf("errorf %d", 5))
	case "wrap":
		panic(fmt.Errorf("outer: %w", fs.ErrNotExist))
	case "patherr":
		_, err := os.Open("/nonexistent/file")
		panic(err)
	case "syscallerr":
		_, err := strconv.Atoi("12x")
		panic(err)
	case "myerr":
		panic(&MyErr{12})
	case "valerr":
		panic(ValErr{1, 2})
	case "strerr":
		panic(StrErr("x"))
	case "interr":
		panic(IntErr(4))
	case "stringer":
		panic(Str{9})
	case "pstringer":
		panic(&Str{9})
	case "int":
		panic(42)
	case "int8":
		panic(int8(-3))
	case "uint64":
		panic(uint64(18446744073709551615))
	case "uintptr":
		panic(uintptr(99))
	case "float":
		panic(3.25)
	case "float32":
		panic(float32(-1e10))
	case "complex":
		panic(complex(1, -2))
	case "bool":
		panic(true)
	case "rune":
		panic('x')
	case "mystring":
		panic(MyString("quoted \"text\"\nline"))
	case "myint":
		panic(MyInt(-5))
	case "myfloat":
		panic(MyFloat(2.5))
	case "mybool":
		panic(MyBool(false))
	case "struct":
		panic(struct{ A, B int }{1, 2})
	case "slice":
		panic([]int{1, 2})
	case "map":
		panic(map[string]int{"a": 1})
	case "func":
		panic(f)
	case "ptr":
		panic(&idx)
	case "nil":
		panic(nil)
	case "index":
		fmt.Println(sl[idx])
	case "indexneg":
		fmt.Println(sl[neg])
	case "indexstr":
		fmt.Println(str[idx])
	case "slice2":
		fmt.Println(sl[idx:])
	case "slice3":
		fmt.Println(sl[1:idx])
	case "slice4":
		fmt.Println(sl[idx-4 : 2])
	case "slicestr":
		fmt.Println(str[idx:])
	case "slicecap":
		fmt.Println(sl[0:1:idx])
	case "sliceconv":
		fmt.Println((*[9]int)(sl))
	case "divide":
		fmt.Println(1 / zero)
	case "shift":
		fmt.Println(1 << neg)
	case "nilderef":
		fmt.Println(nilp.Code)
	case "nilmap":
		nilmap["a"] = 1
	case "typeassert":
		fmt.Println(iface.(int))
	case "typeassert2":
		fmt.Println(iface.(Iface))
	case "typeassert3":
		fmt.Println(nilIface.(int))
	case "typeassert4":
		fmt.Println(nilIface.(Iface))
	case "compare":
		fmt.Println(interface{}(sl) == interface{}(sl))
	case "hash":
		funcs[sl] = 1
	case "closeclosed":
		c := make(chan int)
		close(c)
		close(c)
	case "sendclosed":
		c := make(chan int)
		close(c)
		c <- 1
	case "closenil":
		var c chan int
		close(c)
	case "makechan":
		_ = make(chan int, neg)
	case "makeslice":
		_ = make([]int, neg)
	case "negwg":
		var wg sync.WaitGroup
		wg.Done()
	case "unlock":
		var mu sync.Mutex
		mu.Unlock()
	case "deadlock":
		select {}
	case "deadlock2":
		c := make(chan int)
		<-c
	case "printing":
		panic(BadErr{})
	case "printingtype":
		panic(WorseErr{})
	case "throwing": // while a panic runs what was deferred
		defer func() {
			var lock sync.Mutex
			lock.Unlock()
		}()
		panic("behind it")
	case "overflow":
		debug.SetMaxStack(1 << 16)
		overflow(1)
	case "goexit":
		runtime.Goexit()
	case "nested":
		defer func() { panic("second") }()
		panic("first")
	case "nested3":
		defer func() {
			defer func() { panic(fmt.Errorf("third %d", 3)) }()
			panic(&MyErr{2})
		}()
		panic("first")
	case "recovered":
		defer func() {
			r := recover()
			panic(fmt.Sprint("again ", r))
		}()
		panic("first")
	case "repanic":
		defer func() {
			r := recover()
			panic(r)
		}()
		panic("first")
	case "recovererr":
		defer func() {
			r := recover()
			panic(fmt.Errorf("wrapped: %v", r))
		}()
		fmt.Println(sl[idx])
	case "goexitpanic":
		c := make(chan int)
		go func() {
			defer func() { panic("in goexit") }()
			runtime.Goexit()
		}()
		<-c
	case "small":
		panic(1e-7)
	case "large":
		panic(123456789.0)
	case "seven":
		panic(1234567.0)
	case "third":
		panic(float32(1) / 3)
	case "inf":
		panic(MyFloat(math.Inf(-idx)))
	case "complexneg":
		panic(complex(1e21, -0.5))
	case "complex64":
		panic(complex64(complex(1e-5, 100000)))
	case "fault":
		*(*int)(unsafe.Pointer(uintptr(0xdead0000))) = idx
	case "readonly":
		**(**byte)(unsafe.Pointer(&str)) = 'x'
	case "fatalinpanic":
		defer func() {
			var mu sync.Mutex
			mu.Unlock()
		}()
		panic("then a fatal error")
	case "killed":
		syscall.Kill(os.Getpid(), syscall.SIGQUIT)
		select {}
	case "nilfunc":
		var fn func()
		fn()
	case "throw":
		debug.SetGCPercent(-1)
		var b []byte
		for {
			b = append(b, make([]byte, 1<<40)...)
		}
	}
}

//go:noinline
func overflow(n int) int {
	var a [100]int
	a[n%100] = n
	return overflow(n+1) + a[(n+1)%100]
}

func main() { f(os.Args[1]) }
