package hashanchor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"dxd/hashanchor"
)

// mutate calls try with the file after each single change of a leaf of its
// JSON: each string with one character changed, cut and lengthened, each
// number and each list changed, each member removed. The payloads of signed
// records are strings here, and so change as well.
func mutate(t *testing.T, data []byte, try func(what string, changed []byte)) {
	var tree any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	must(t, dec.Decode(&tree))
	text := strings.TrimSpace(string(data))
	var walk func(path string, v any, put func(any))
	emit := func(path string) {
		changed := strings.TrimSpace(string(orderLike(t, text, tree)))
		if changed != text {
			try(path, []byte(changed))
		}
	}
	walk = func(path string, v any, put func(any)) {
		set := func(how string, changed any) {
			put(changed)
			emit(path + " " + how)
			put(v)
		}
		switch v := v.(type) {
		case map[string]any:
			for name, child := range v {
				walk(path+"."+name, child, func(c any) { v[name] = c })
				delete(v, name)
				emit(path + " without " + name)
				v[name] = child
			}
			v["zzz"] = "more"
			emit(path + " with more")
			delete(v, "zzz")
		case []any:
			for i, child := range v {
				walk(path+"["+strconv.Itoa(i)+"]", child, func(c any) { v[i] = c })
			}
			set("longer", append(append([]any{}, v...), "x"))
			if len(v) > 0 {
				set("shorter", v[:len(v)-1])
				set("doubled", append(append([]any{}, v...), v[len(v)-1]))
			}
		case string:
			mutateString(v, set)
		case json.Number:
			n, err := v.Int64()
			must(t, err)
			set("+1", n+1)
			set("-1", n-1)
			set("negative", -n-1)
			set("as string", string(v))
		}
	}
	walk("", tree, func(any) {})
}

// mutateString changes a string in places that meet header, middle and end of
// what it encodes.
func mutateString(v string, set func(how string, changed any)) {
	step := max(1, len(v)/9)
	for i := 0; i < len(v); i += step {
		c := byte('1') // legal in hex, base64 and text
		if v[i] == c {
			c = 'a'
		}
		set("with another character at "+strconv.Itoa(i), v[:i]+string(c)+v[i+1:])
	}
	set("longer", v+"a")
	set("upper", strings.ToUpper(v))
	if len(v) > 0 {
		set("shorter", v[:len(v)-1])
	}
	set("null", nil)
}

// orderLike encodes the tree with each object's members in the order in which
// the original text first has them, so that the order alone refuses nothing.
func orderLike(t *testing.T, text string, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		at := func(name string) int {
			if i := strings.Index(text, fmt.Sprintf("%q:", name)); i >= 0 {
				return i
			}
			return len(text)
		}
		for i := range names { // a few names: insertion sort
			for j := i; j > 0 && at(names[j]) < at(names[j-1]); j-- {
				names[j], names[j-1] = names[j-1], names[j]
			}
		}
		var parts []string
		for _, name := range names {
			parts = append(parts, fmt.Sprintf("%q:%s", name, orderLike(t, text, v[name])))
		}
		return []byte("{" + strings.Join(parts, ",") + "}")
	case []any:
		var parts []string
		for _, child := range v {
			parts = append(parts, string(orderLike(t, text, child)))
		}
		return []byte("[" + strings.Join(parts, ",") + "]")
	}
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

func TestNoChangedFieldOfEvidenceVerifies(t *testing.T) {
	transfer, notarisation := tell(t, "hello"), tell(t, "hello")
	notarisation.notarise(t)
	for name, s := range map[string]*story{"transfer": transfer, "notarisation": notarisation} {
		t.Run(name, func(t *testing.T) {
			tried, kept := 0, map[string]int{}
			mutate(t, s.file(t), func(what string, changed []byte) {
				tried++
				r := s.verify(t, changed)
				if r.ExitCode() != hashanchor.ExitInvalid && !less[what] {
					t.Errorf("%s: exit code %d", what, r.ExitCode())
				}
				kept[broken(r).Name]++
			})
			if tried < 300 || kept["file"] == tried {
				t.Errorf("%d changes broke %v: too few to mean anything", tried, kept)
			}
			t.Logf("%d changes broke %v", tried, kept)
		})
	}
}

// less holds the changes that take a whole signed record or proof away. What
// is left is as true as before, and says less.
var less = map[string]bool{".proofs shorter": true, ".receipts shorter": true}

func TestNoFlippedBitOfEvidenceVerifies(t *testing.T) {
	s := tell(t, "hello")
	data := bytes.TrimSpace(s.file(t))
	for i := 0; i < len(data); i += 11 { // bytes from everywhere, each bit in turn
		bit := byte(1) << (i / 11 % 8)
		changed := bytes.Clone(data)
		changed[i] ^= bit
		if r := s.verify(t, changed); r.ExitCode() != hashanchor.ExitInvalid {
			t.Fatalf("bit %d of byte %d (%q): exit code %d", bit, i, data[max(0, i-20):i+1], r.ExitCode())
		}
	}
}
