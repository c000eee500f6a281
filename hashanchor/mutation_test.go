package hashanchor_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
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
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	tree := ordered(t, dec)
	text := strings.TrimSpace(string(data))
	if string(encode(t, tree)) != text {
		t.Fatal("the unchanged file comes out otherwise: no change would mean anything")
	}
	var walk func(path string, v any, put func(any))
	emit := func(path string) {
		if changed := encode(t, tree); string(changed) != text {
			try(path, changed)
		}
	}
	walk = func(path string, v any, put func(any)) {
		set := func(how string, changed any) {
			put(changed)
			emit(path + " " + how)
			put(v)
		}
		switch v := v.(type) {
		case *object:
			for i, m := range v.members {
				walk(path+"."+m.name, m.value, func(c any) { v.members[i].value = c })
				whole := v.members
				v.members = slices.Delete(slices.Clone(whole), i, i+1)
				emit(path + " without " + m.name)
				v.members = whole
			}
			v.members = append(v.members, member{"zzz", "more"})
			emit(path + " with more")
			v.members = v.members[:len(v.members)-1]
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

// mutateBytes calls try with the file after a flip of one bit in each byte of
// all that it holds in base64 or hexadecimal: payloads and signatures of records,
// hashes, salts, header and nodes. The bits take turns.
func mutateBytes(t *testing.T, data []byte, try func(what string, changed []byte)) (flipped int) {
	text := strings.TrimSpace(string(data))
	for at := 0; at < len(text); {
		open := strings.IndexByte(text[at:], '"')
		if open < 0 {
			break
		}
		open += at + 1
		end := open + strings.IndexByte(text[open:], '"')
		at = end + 1
		raw, write := binaryOf(text[open:end])
		for i := range raw {
			bit := byte(1) << (flipped % 8)
			raw[i] ^= bit
			try(fmt.Sprintf("bit %d of byte %d of %.20q flipped", bit, i, text[open:end]), []byte(text[:open]+write(raw)+text[end:]))
			raw[i] ^= bit
			flipped++
		}
	}
	return flipped
}

// binaryOf decodes a string that holds bytes, and tells how they are written;
// nothing comes of any other. No string of evidence has an escape.
func binaryOf(s string) (raw []byte, write func([]byte) string) {
	const least = 16 // below that it is a word or a number
	digits, _ := strings.CutPrefix(s, "0x")
	if raw, err := hex.DecodeString(digits); err == nil && len(raw) >= least {
		return raw, func(b []byte) string { return s[:len(s)-len(digits)] + hex.EncodeToString(b) }
	}
	if raw, err := base64.StdEncoding.DecodeString(s); err == nil && len(raw) >= least {
		return raw, base64.StdEncoding.EncodeToString
	}
	return nil, nil
}

// object keeps the order of its members, so that the order alone refuses
// nothing.
type object struct{ members []member }

type member struct {
	name  string
	value any
}

// ordered reads the next value.
func ordered(t *testing.T, dec *json.Decoder) any {
	token, err := dec.Token()
	must(t, err)
	switch token {
	case json.Delim('{'):
		o := &object{}
		for dec.More() {
			name, err := dec.Token()
			must(t, err)
			o.members = append(o.members, member{name.(string), ordered(t, dec)})
		}
		_, err = dec.Token()
		must(t, err)
		return o
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			list = append(list, ordered(t, dec))
		}
		_, err = dec.Token()
		must(t, err)
		return list
	}
	return token
}

func encode(t *testing.T, v any) []byte {
	var parts []string
	switch v := v.(type) {
	case *object:
		for _, m := range v.members {
			parts = append(parts, fmt.Sprintf("%q:%s", m.name, encode(t, m.value)))
		}
		return []byte("{" + strings.Join(parts, ",") + "}")
	case []any:
		for _, child := range v {
			parts = append(parts, string(encode(t, child)))
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
