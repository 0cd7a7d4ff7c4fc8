package files

import (
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"holdfast/engines/enginetest"
)

// slowPage is a page of memory that is not there until it is filled: whoever reads it waits,
// in the kernel too (userfaultfd(2)).
type slowPage struct {
	fd   uintptr
	page []byte
}

// What the kernel calls these (linux/userfaultfd.h).
const (
	uffdAPI      = 0xc018aa3f
	uffdRegister = 0xc020aa00
	uffdCopy     = 0xc028aa03
)

func newSlowPage(t *testing.T) *slowPage {
	t.Helper()
	needRoot(t)
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno == unix.ENOSYS || errno == unix.EPERM { // some containers forbid it, to root too
		t.Skipf("no write can be slowed down where there is no userfaultfd: %v", errno)
	}
	if errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() { check(t, unix.Close(int(fd))) })
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	check(t, err)
	p := &slowPage{fd, page}
	p.call(t, uffdAPI, unsafe.Pointer(&[3]uint64{0xaa}))
	p.call(t, uffdRegister, unsafe.Pointer(&[4]uint64{p.address(), uint64(len(page)), 1}))
	return p
}

func (p *slowPage) address() uint64 { return uint64(uintptr(unsafe.Pointer(&p.page[0]))) }

func (p *slowPage) call(t *testing.T, request uintptr, arg unsafe.Pointer) {
	t.Helper()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, p.fd, request, uintptr(arg)); errno != 0 {
		t.Fatal(errno)
	}
}

func (p *slowPage) fill(t *testing.T, with byte) {
	from, err := unix.Mmap(-1, 0, len(p.page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	check(t, err)
	for i := range from {
		from[i] = with
	}
	p.call(t, uffdCopy, unsafe.Pointer(&[5]uint64{p.address(), uint64(uintptr(unsafe.Pointer(&from[0]))), uint64(len(from))}))
}

// TestAWriteThatIsUnderWay has moved the file's times at its beginning. What is read before
// its end would pass for what the file holds, in every later snapshot too.
func TestAWriteThatIsUnderWay(t *testing.T) {
	root := scratchDir(t)
	slow := newSlowPage(t)
	file := filepath.Join(root, "file")
	check(t, os.WriteFile(file, make([]byte, len(slow.page)), 0o644))
	settle(t)
	before, err := os.Stat(file)
	check(t, err)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	var write errgroup.Group
	write.Go(func() error {
		_, err := unix.Pwrite(int(f.Fd()), slow.page, 0)
		return err
	})
	for now := before; now.ModTime().Equal(before.ModTime()); {
		now, err = os.Stat(file)
		check(t, err)
	}
	settle(t)
	write.Go(func() error {
		time.Sleep(200 * time.Millisecond)
		slow.fill(t, 'n')
		return nil
	})
	sink := enginetest.NewMemory()
	now := time.Now()
	result := captureFrom(t, unheldSource(t, root, &now), sink)
	check(t, write.Wait())
	next := sink.Next(result.Entries)
	result = captureFrom(t, unheldSource(t, root, &now), next)
	if got, err := next.File(t.Context(), result.Entries, "uploads/file"); err != nil || got[0] != 'n' {
		t.Errorf("the next snapshot has %q, %v", got[:1], err)
	}
}
