package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const module = "dxd/"

// graph gives what the non-test files of each package import, for all of the
// module's own packages and what they depend on.
type graph map[string][]string

// own yields the module's packages, without its prefix, in order.
func (g graph) own() []string {
	var names []string
	for path := range g {
		if name, ok := strings.CutPrefix(path, module); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// within tells whether a package is one of those that a list names. As for the
// go command, "x/..." is x and all below it.
func within(list, name string) bool {
	for _, entry := range strings.Fields(list) {
		above, all := strings.CutSuffix(entry, "/...")
		if entry == "*" || above == name || all && strings.HasPrefix(name, above+"/") {
			return true
		}
	}
	return false
}

// partOf tells whether a package belongs to one of the modules of a list.
func partOf(list, path string) bool {
	for _, entry := range strings.Fields(list) {
		if entry == "*" || entry == path || strings.HasPrefix(path, entry+"/") {
			return true
		}
	}
	return false
}

// outside tells whether an import is of another module: its first element is
// a host's name.
func outside(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return strings.Contains(host, ".")
}

func roomOf(table []room, name string) (room, bool) {
	i := slices.IndexFunc(table, func(r room) bool { return within(r.name, name) })
	if i < 0 {
		return room{}, false
	}
	return table[i], true
}

// checkImports tells which imports the table does not allow.
func checkImports(table []room, g graph) (faults []string) {
	for _, name := range g.own() {
		r, ok := roomOf(table, name)
		if !ok {
			faults = append(faults, name+" has no row in the table")
			continue
		}
		for _, path := range g[module+name] {
			imported, isOwn := strings.CutPrefix(path, module)
			switch {
			case isOwn && !within(r.may, imported):
				faults = append(faults, fmt.Sprintf("%s imports %s, and may import only: %s", name, imported, r.may))
			case outside(path) && !partOf(r.parts, path):
				faults = append(faults, fmt.Sprintf("%s imports %s, and may import of other modules only: %s", name, path, r.parts))
			}
		}
	}
	return faults
}

// checkReach tells which packages are reached that must not be, with the way
// that leads there. Standard library packages count only where an own package
// imports them: what an outside module does inside is its own affair.
func checkReach(g graph, from, reach string) (faults []string) {
	way := map[string]string{module + from: from}
	queue := []string{module + from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, path := range g[at] {
			if !outside(path) && !strings.HasPrefix(path, module) && !strings.HasPrefix(at, module) {
				continue
			}
			if _, seen := way[path]; seen {
				continue
			}
			name := strings.TrimPrefix(path, module)
			way[path] = way[at] + " → " + name
			queue = append(queue, path)
			if within(reach, name) {
				faults = append(faults, from+" reaches "+name+": "+way[path])
			}
		}
	}
	return faults
}

// checkPure tells which packages of the standard library a room uses though
// it is to do without.
func checkPure(g graph, room, without string) (faults []string) {
	for _, path := range g[module+room] {
		if within(without, path) {
			faults = append(faults, room+" imports "+path+", and does without it")
		}
	}
	return faults
}

func TestTableHolds(t *testing.T) {
	g := load(t)
	for _, fault := range checkImports(rooms, g) {
		t.Error(fault)
	}
}

func TestProductionReachesNoTestsAndNoNode(t *testing.T) {
	g := load(t)
	for _, n := range never {
		for _, fault := range checkReach(g, n.from, n.reach) {
			t.Error(fault)
		}
	}
}

func TestPureRoomsDoNoInputOrOutput(t *testing.T) {
	g := load(t)
	for _, p := range pure {
		for _, fault := range checkPure(g, p.room, p.without) {
			t.Error(fault)
		}
	}
}
