package bench

import (
	"bufio"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Profile says where a daemon spent its processors' time.
type Profile struct {
	Name   string             `json:"name"`
	Total  float64            `json:"cpuSeconds"`
	Shares map[string]float64 `json:"shares"` // by kind of work, of 1
}

// kinds of work. A stack belongs to the first that one of its functions is of.
var kinds = []struct {
	name string
	of   *regexp.Regexp
}{
	{"collecting garbage, allocating", regexp.MustCompile(`^runtime\.(gcBgMarkWorker|gcAssistAlloc|mallocgc|bgsweep|bgscavenge|growslice|makeslice)`)},
	{"SHA-256", regexp.MustCompile(`crypto/.*sha256\.`)},
	{"sealing for the journal", regexp.MustCompile(`^dxd/crypto\.\(?\*?(Sealer|sealer)`)},
	{"sealing, opening payloads", regexp.MustCompile(`chacha20poly1305\.`)},
	{"AES-GCM of TLS and QUIC", regexp.MustCompile(`aes/gcm\.|fips140/aes\.`)},
	{"signatures, key agreement", regexp.MustCompile(`ed25519\.|edwards25519|mlkem\.|hpke|/nistec|x25519`)},
	{"syncing files", regexp.MustCompile(`^(syscall|golang.org/x/sys/unix|internal/poll)\..*([Ff]sync|[Ff]datasync|SyncFileRange)`)},
	{"reading, writing files", regexp.MustCompile(`^os\.\(\*File\)\.|^syscall\.(Open|Rename|Unlink|Fallocate)`)},
	{"reading, writing sockets", regexp.MustCompile(`^internal/poll\.\(\*FD\)\.|^net\.\(\*(conn|UDPConn)\)\.|socket\.\(\*Conn\)`)},
	{"yamux", regexp.MustCompile(`go-yamux`)},
	{"QUIC", regexp.MustCompile(`quic-go`)},
	{"the rest of TLS", regexp.MustCompile(`^crypto/tls\.`)},
	{"journal", regexp.MustCompile(`dgraph-io/|^dxd/blobstore/`)},
	{"API", regexp.MustCompile(`^net/http\.|danielgtaylor/huma`)},
	{"exchange", regexp.MustCompile(`^dxd/`)},
	{"goroutines and timers", regexp.MustCompile(`^runtime\.(mcall|park_m|schedule|findRunnable|mstart|sysmon|systemstack|goexit|timer|ready)`)},
}

const otherKind = "other"

// parseTraces reads what `go tool pprof -traces` says: stacks, each with its
// time, the innermost function first, and a line between them.
func parseTraces(name string, r io.Reader) (Profile, error) {
	p := Profile{Name: name, Shares: map[string]float64{}}
	var stack []string
	var value time.Duration
	flush := func() {
		if len(stack) > 0 {
			p.Shares[kindOf(stack)] += value.Seconds()
			p.Total += value.Seconds()
		}
		stack = nil
	}
	in := bufio.NewScanner(r)
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if strings.HasPrefix(line, "---") {
			flush()
			value = 0
			continue
		}
		if value == 0 { // the first line of a stack begins with its time
			first, rest, _ := strings.Cut(line, " ")
			d, err := time.ParseDuration(first)
			if err != nil {
				continue // of the head
			}
			value, line = d, strings.TrimSpace(rest)
		}
		stack = append(stack, strings.TrimSuffix(line, " (inline)"))
	}
	flush()
	for kind := range p.Shares {
		p.Shares[kind] /= p.Total
	}
	return p, in.Err()
}

func kindOf(stack []string) string {
	for _, k := range kinds {
		if slices.ContainsFunc(stack, k.of.MatchString) {
			return k.name
		}
	}
	return otherKind
}
