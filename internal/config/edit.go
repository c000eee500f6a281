package config

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dxd/record"
)

// Edit gives a key a value in the content of a dxd.toml, and leaves everything
// else as its owner wrote it, comments included. A line that shows the key's
// default behind a comment sign becomes the value's place.
//
// It works on lines, and so can't do it in every file that TOML allows. It
// reads its own result again, and gives it out only if the key has the value
// and no other has changed.
func Edit(content []byte, key string, values ...string) ([]byte, error) {
	s, err := find(key)
	if err != nil {
		return nil, err
	}
	c := Default()
	if err := c.Set(key, values...); err != nil {
		return nil, err
	}
	want, err := decode(content)
	if err != nil {
		return nil, err
	}
	want[key] = values
	table, name := "", key
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		table, name = key[:i], key[i+1:]
	}
	literal := literal(s, values)
	lines := place(strings.Split(string(content), "\n"), table, name, literal)
	edited := []byte(strings.Join(lines, "\n"))
	got, err := decode(edited)
	if err != nil || !maps.EqualFunc(got, want, slices.Equal) {
		return nil, record.WithHint(record.Errorf(record.Invalid, "couldn't set %s in %s without touching more of it", key, FileName),
			"write it there yourself: "+key+" = "+literal)
	}
	return edited, nil
}

// literal is the value as TOML.
func literal(s setting, values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	if s.list {
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	if _, err := strconv.ParseUint(values[0], 10, 63); err == nil {
		return values[0]
	}
	return quoted[0]
}

// place puts the assignment in the first of these places that there is: its
// own line, its line behind a comment sign, after its table's header, or (for
// a table that is missing) at the end.
func place(lines []string, table, name, literal string) []string {
	assignment := name + " = " + literal
	own := regexp.MustCompile(`^\s*` + regexp.QuoteMeta(name) + `\s*=`)
	shown := regexp.MustCompile(`^#\s*` + regexp.QuoteMeta(name) + `\s*=`)
	from, to := span(lines, table)
	if from < 0 {
		return append(lines, "["+table+"]", assignment, "")
	}
	for i := from; i < to; i++ {
		if own.MatchString(lines[i]) {
			lines[i] = assignment + trailingComment(lines[i])
			return lines
		}
	}
	for i := from; i < to; i++ {
		if shown.MatchString(lines[i]) {
			lines[i] = assignment
			return lines
		}
	}
	return slices.Insert(lines, from, assignment)
}

// header matches the line that opens a table, or an element of an array of them.
var header = regexp.MustCompile(`^\s*\[{1,2}\s*([A-Za-z0-9_.-]+)\s*\]{1,2}\s*(#.*)?$`)

// span finds the lines of a table, without its header; from is -1 if there is
// no such table. The table "" is what comes before the first header.
func span(lines []string, table string) (from, to int) {
	from = -1
	if table == "" {
		from = 0
	}
	for i, line := range lines {
		m := header.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if from >= 0 {
			return from, i
		}
		if m[1] == table {
			from = i + 1
		}
	}
	return from, len(lines)
}

// trailingComment is the comment at the end of an assignment, with the blanks
// before it. A "#" within a string begins none.
func trailingComment(line string) string {
	quote := rune(0)
	for i, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '#':
			kept := len(strings.TrimRight(line[:i], " \t"))
			return line[kept:]
		}
	}
	return ""
}
