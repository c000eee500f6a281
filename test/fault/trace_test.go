//go:build fault

package fault

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A trace is what strace -f -y wrote of one process: its calls that change
// files or make them durable, and the commit points that it passed. replay
// goes through it with a model of a disk that keeps, when the power goes, what
// was synced before and nothing else:
//
//   - bytes are on it once fsync, fdatasync or msync came back that began after
//     they were written;
//   - a name is on it (or gone from it) once fsync came back of its directory
//     that began after the name was made, moved or removed. That a file's own
//     fsync brings its name along is not believed, but for Badger's tables
//     (docs/decisions/0133-the-names-of-new-tables.md).

// call is one system call, from the line on which it begins to that on which
// it ends: other threads' calls may stand between them.
type call struct {
	begun, ended int
	name         string
	args         []string
	result       string
}

var (
	lineOfCall = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (.*)$`)
	lineBegun  = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	lineEnded  = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.*)$`)
)

// readCalls reads a trace, in the order in which the calls ended. Calls that
// never ended, as the last of a process that is killed, are left out.
func readCalls(r io.Reader) (calls []call, err error) {
	type half struct {
		line int
		args string
	}
	begun := map[string]half{} // by thread
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if m := lineOfCall.FindStringSubmatch(text); m != nil {
			calls = append(calls, call{n, n, m[2], splitArgs(m[3]), m[4]})
		} else if m := lineBegun.FindStringSubmatch(text); m != nil {
			begun[m[1]] = half{n, m[3]}
		} else if m := lineEnded.FindStringSubmatch(text); m != nil {
			h := begun[m[1]]
			calls = append(calls, call{h.line, n, m[2], splitArgs(h.args + m[3]), m[4]})
		} else if !strings.Contains(text, " +++ ") && !strings.Contains(text, " --- ") && !strings.Contains(text, "resumed>") && !strings.HasSuffix(text, "= ?") {
			return nil, fmt.Errorf("line %d is not understood: %s", n, text)
		}
	}
	return calls, lines.Err()
}

// splitArgs splits at commas that are not within brackets, quotes or <paths>.
func splitArgs(s string) (args []string) {
	depth, quoted, from := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted:
			if c == '\\' {
				i++
			}
			quoted = c != '"' || s[i] != '"'
		case c == '"':
			quoted = true
		case strings.IndexByte("<[{(", c) >= 0:
			depth++
		case strings.IndexByte(">]})", c) >= 0:
			depth--
		case c == ',' && depth == 0:
			args = append(args, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return append(args, strings.TrimSpace(s[from:]))
}

func (c call) failed() bool { return strings.HasPrefix(c.result, "-1 ") }

func (c call) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

// pathOf is the path of a descriptor, as -y shows it: 7</a/b>.
func pathOf(fd string) string {
	from, to := strings.IndexByte(fd, '<'), strings.LastIndexByte(fd, '>')
	if from < 0 || to < from {
		return ""
	}
	return strings.TrimSuffix(fd[from+1:to], "(deleted)")
}

func unquoted(arg string) string {
	s, err := strconv.Unquote(strings.TrimSuffix(arg, "..."))
	if err != nil {
		return arg
	}
	return s
}

// path is the path that the arguments i (a directory) and i+1 name.
func (c call) path(i int) string {
	p := unquoted(c.arg(i + 1))
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(pathOf(c.arg(i)), p)
}

// disk and its files are numbered by lines of the trace; 0 is before it.
type tracedFile struct {
	isDir   bool
	through bool   // it was opened so that each write waits for the disk
	dirty   int    // when bytes were last written that no sync followed; 0 if there are none
	named   int    // when its name was made that no sync of its directory followed
	syncs   []call // msync, fsync, fdatasync
}

type tracedDisk struct {
	dir   string // what is below it is looked at
	above bool   // and the directories that were made above it
	files map[string]*tracedFile
	gone  map[string]int // names that were removed, and their directory was not synced
	maps  map[uint64]string
	point map[string][]call // "before": those that no "after" followed, the oldest first

	found  []string // what is amiss
	passed []passed
}

// passed is one passing of a commit point, or another moment that was checked.
type passed struct {
	what         string
	files, names int // that were on the disk
	log          int // syncs of the journal's log since the other side of the point
}

// newTracedDisk knows what was there before, which is taken to be durable.
func newTracedDisk(dir string, before []string) *tracedDisk {
	d := &tracedDisk{dir: dir, files: map[string]*tracedFile{}, gone: map[string]int{}, maps: map[uint64]string{}, point: map[string][]call{}}
	for _, path := range before {
		d.files[path] = &tracedFile{}
	}
	return d
}

func (d *tracedDisk) within(path string) bool {
	return path == d.dir || strings.HasPrefix(path, d.dir+"/") || d.above && strings.HasPrefix(d.dir, path+"/")
}

func (d *tracedDisk) complain(c call, format string, args ...any) {
	d.found = append(d.found, fmt.Sprintf("line %d, %s: %s", c.ended, c.name, fmt.Sprintf(format, args...)))
}

// replay has the disk go through a trace.
func (d *tracedDisk) replay(calls []call) {
	for _, c := range calls {
		if !c.failed() || c.name == "faccessat" { // a point is a file that is not there
			d.do(c)
		}
	}
}

func (d *tracedDisk) do(c call) {
	switch c.name {
	case "openat":
		d.opened(c)
	case "ftruncate":
		// The list of Badger's tables is cut at each start where a crash left
		// a torn end; whether that is on the disk, the next start cuts again.
		if path := pathOf(c.arg(0)); filepath.Base(path) != "MANIFEST" {
			d.wrote(c, path)
		}
	case "write", "pwrite64", "writev", "pwritev":
		d.wrote(c, pathOf(c.arg(0)))
	case "copy_file_range", "splice":
		d.wrote(c, pathOf(c.arg(2)))
	case "sendfile":
		d.wrote(c, pathOf(c.arg(0)))
	case "mmap":
		d.mapsFile(c)
	case "mremap":
		if path, ok := d.maps[number(c.arg(0))]; ok {
			d.maps[number(c.result)] = path
		}
	case "msync":
		if path, ok := d.maps[number(c.arg(0))]; ok && strings.Contains(c.arg(2), "MS_SYNC") {
			d.synced(c, path)
		}
	case "fsync", "fdatasync":
		d.synced(c, pathOf(c.arg(0)))
	case "renameat", "renameat2":
		d.moved(c, c.path(0), c.path(2))
	case "linkat":
		d.linked(c, c.path(0), c.path(2))
	case "unlinkat":
		d.removed(c, c.path(0))
	case "mkdirat":
		if path := c.path(0); d.within(path) {
			d.files[path] = &tracedFile{isDir: true, named: c.ended}
		}
	case "faccessat", "faccessat2":
		if point, ok := strings.CutPrefix(c.path(0), "/dxd/point/"); ok {
			d.passes(c, point)
		}
	}
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 64) // 0 is no address
	return n
}

func (d *tracedDisk) opened(c call) {
	path := pathOf(c.result)
	if f := d.files[path]; !d.within(path) || f != nil && !strings.Contains(c.arg(2), "O_TRUNC") {
		return
	} else if f != nil {
		f.dirty = c.ended
		return
	}
	if strings.Contains(c.arg(2), "O_CREAT") {
		through := strings.Contains(c.arg(2), "O_SYNC") || strings.Contains(c.arg(2), "O_DSYNC")
		d.files[path] = &tracedFile{named: c.ended, through: through}
	}
}

func (d *tracedDisk) wrote(c call, path string) {
	if f := d.files[path]; f != nil && !f.through {
		f.dirty = c.ended
	}
}

// mapsFile notes where a file is in memory. What is written there shows in no
// trace; a file that is new counts as written to from then on.
func (d *tracedDisk) mapsFile(c call) {
	path := pathOf(c.arg(4))
	f := d.files[path]
	if f == nil || !strings.Contains(c.arg(2), "PROT_WRITE") || !strings.Contains(c.arg(3), "MAP_SHARED") {
		return
	}
	d.maps[number(c.result)] = path
	if f.named != 0 {
		f.dirty = c.ended
	}
}

func (d *tracedDisk) synced(c call, path string) {
	f := d.files[path]
	if f == nil {
		return
	}
	if f.dirty < c.begun {
		f.dirty = 0
	}
	f.syncs = append(f.syncs, c)
	if c.name == "msync" && isTable(path) && f.named < c.begun {
		f.named = 0
	}
	for name, child := range d.files { // if it is a directory
		if filepath.Dir(name) == path && child.named < c.begun {
			child.named = 0
		}
	}
	for name, since := range d.gone {
		if filepath.Dir(name) == path && since < c.begun {
			delete(d.gone, name)
		}
	}
}

func (d *tracedDisk) moved(c call, from, to string) {
	f := d.files[from]
	if f == nil {
		return
	}
	if f.dirty != 0 {
		d.complain(c, "%s gets its name before its bytes are on the disk", d.short(to))
	}
	delete(d.files, from)
	f.named = c.ended
	d.files[to] = f
	for path := range d.files {
		if rest, ok := strings.CutPrefix(path, from+"/"); ok {
			d.files[to+"/"+rest] = d.files[path]
			delete(d.files, path)
		}
	}
}

func (d *tracedDisk) linked(c call, from, to string) {
	if f := d.files[from]; f != nil {
		if f.dirty != 0 {
			d.complain(c, "%s gets its name before its bytes are on the disk", d.short(to))
		}
		d.files[to] = &tracedFile{named: c.ended}
	}
}

// removed forgets a file. A log of the journal may only go when all is on the
// disk that it was for: the tables, and the list of them.
func (d *tracedDisk) removed(c call, path string) {
	f := d.files[path]
	if f == nil {
		return
	}
	delete(d.files, path)
	if f.named == 0 { // or it may never have been there
		d.gone[path] = c.ended
	}
	if filepath.Ext(path) != ".mem" {
		return
	}
	at := passed{what: "a log of the journal is removed"}
	for name, f := range d.files {
		if base := filepath.Base(name); isTable(name) || base == "MANIFEST" {
			d.clean(c, name, f, &at)
		}
	}
	d.passed = append(d.passed, at)
}

func isTable(path string) bool { return filepath.Ext(path) == ".sst" }

// passes checks what has to be on the disk at a commit point. Behind one, all
// is; the journal's log has been synced since the process came to it.
func (d *tracedDisk) passes(c call, point string) {
	name, isAfter := strings.CutPrefix(point, "after-")
	if !isAfter {
		name = strings.TrimPrefix(point, "before-")
		d.point[name] = append(d.point[name], c)
		if point != "before-received" { // where the payload is to be whole
			return
		}
	}
	at := passed{what: point}
	d.allClean(c, &at)
	// Of several goroutines on their way to one point, any may be the one that
	// has come there: the oldest gives the longest time.
	if begun := d.point[name]; isAfter && len(begun) > 0 {
		d.point[name] = begun[1:]
		at.log = d.logSyncs(begun[0], c)
		if at.log == 0 && !slices.Contains(withoutUpdate, point) {
			d.complain(c, "%s: the journal's log was not synced since before-%s", point, name)
		}
	}
	d.passed = append(d.passed, at)
}

// withoutUpdate are the points at which the journal may have had nothing to
// take: the keyring's file, and a partner's heads that are as they should be.
var withoutUpdate = []string{"after-keyring", atAnyTime}

// atAnyTime is passed whenever a connection is made, while payloads and the
// keyring may be half written: only the journal counts there.
const atAnyTime = "after-greeted"

func (d *tracedDisk) isJournal(path string) bool {
	return strings.HasPrefix(path, filepath.Join(d.dir, "journal"))
}

// logSyncs counts the syncs of the journal's logs that lie between two points.
func (d *tracedDisk) logSyncs(from, to call) (n int) {
	for path, f := range d.files {
		if filepath.Ext(path) != ".mem" {
			continue
		}
		for _, s := range f.syncs {
			if s.begun > from.ended && s.ended < to.begun {
				n++
			}
		}
	}
	return n
}

// ends checks that all is on the disk when the process has ended well.
func (d *tracedDisk) ends(what string) {
	at := passed{what: what}
	d.allClean(call{name: "exit"}, &at)
	d.passed = append(d.passed, at)
}

func (d *tracedDisk) allClean(c call, at *passed) {
	for path, f := range d.files {
		if !(at.what == atAnyTime && !d.isJournal(path)) {
			d.clean(c, path, f, at)
		}
	}
	for path := range d.gone {
		if !mayBeLost(path) && !(at.what == atAnyTime && !d.isJournal(path)) {
			d.complain(c, "%s: that %s was removed is not on the disk", at.what, d.short(path))
		}
	}
}

func (d *tracedDisk) clean(c call, path string, f *tracedFile, at *passed) {
	if mayBeLost(path) || strings.HasPrefix(filepath.Base(path), ".dxd-tmp-") {
		return
	}
	// What Badger maps and never fills has no bytes that could be lost.
	empty := filepath.Ext(path) == ".vlog" || filepath.Base(path) == "DISCARD" || filepath.Ext(path) == ".mem" && len(f.syncs) == 0
	if f.dirty != 0 && !empty {
		d.complain(c, "%s: bytes of %s (line %d) are not on the disk", at.what, d.short(path), f.dirty)
	}
	if f.named != 0 {
		d.complain(c, "%s: the name of %s (line %d) is not on the disk", at.what, d.short(path), f.named)
	}
	at.names++
	if !f.isDir {
		at.files++
	}
}

// mayBeLost tells of files that nothing rests on: locks, the socket, what a
// recipient has of a document that is not whole, and marks that say nothing.
func mayBeLost(path string) bool {
	base := filepath.Base(path)
	return slices.Contains([]string{"lock", "LOCK", "api.sock", "unfinished", "anchoring"}, base) || filepath.Ext(base) == ".partial"
}

func (d *tracedDisk) short(path string) string {
	if rest, err := filepath.Rel(filepath.Dir(d.dir), path); err == nil {
		return rest
	}
	return path
}
