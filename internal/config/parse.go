package config

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"dxd/record"
)

// Parse reads the content of dxd.toml over the defaults. It takes each key in
// its exact case and once, and no other.
func Parse(content []byte) (Config, error) {
	values, err := decode(content)
	if err != nil {
		return Config{}, err
	}
	c := Default()
	// In the order of their names, so that of two faults the same one is
	// always told.
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := c.Set(key, values[key]...); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// decode gives the values of a file under their dotted keys, as text.
//
// The decoder's own way into a struct is not taken: it folds the case of keys
// and gives numbers and strings to a type by different rules. Of its errors
// only the message and the place are used: what it calls String shows the
// lines around, and with them an endpoint's key.
func decode(content []byte) (map[string][]string, error) {
	var tree map[string]any
	if err := toml.Unmarshal(content, &tree); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, column := at.Position()
			return nil, record.Errorf(record.Invalid, "line %d, column %d: %s", line, column, record.Printable(at.Error(), 200))
		}
		return nil, record.Errorf(record.Invalid, "%s", record.Printable(err.Error(), 200))
	}
	values := map[string][]string{}
	return values, flatten(values, "", tree)
}

func flatten(into map[string][]string, prefix string, tree map[string]any) error {
	for name, value := range tree {
		key := prefix + name
		if strings.Contains(name, ".") { // a quoted key: never one of ours
			return unknownKey(strconv.Quote(key))
		}
		if table, ok := value.(map[string]any); ok && isTable(key) {
			if err := flatten(into, key+".", table); err != nil {
				return err
			}
			continue
		}
		if _, err := find(key); err != nil {
			return innermost(key, value)
		}
		texts, err := texts(value)
		if err != nil {
			return record.Errorf(record.Invalid, "%s: %w", key, err)
		}
		into[key] = texts
	}
	return nil
}

// isTable tells whether there are keys below this one.
func isTable(key string) bool {
	return slices.ContainsFunc(settings(), func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
}

// innermost reports an unknown table by a key in it, whose nearest known one
// is what the writer meant.
func innermost(key string, value any) error {
	for table, ok := value.(map[string]any); ok && len(table) > 0; table, ok = value.(map[string]any) {
		name := slices.Min(slices.Collect(maps.Keys(table)))
		key, value = key+"."+name, table[name]
	}
	return unknownKey(key)
}

// texts gives a TOML value as Set takes it.
func texts(value any) ([]string, error) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case int64:
		return []string{strconv.FormatInt(v, 10)}, nil
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}, nil
	case []any:
		all := make([]string, 0, len(v))
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				return nil, record.Errorf(record.Invalid, "a list holds strings and nothing else")
			}
			all = append(all, s)
		}
		return all, nil
	}
	return nil, record.Errorf(record.Invalid, "takes a string, a number or a list of strings")
}
