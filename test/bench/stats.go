package bench

import (
	"math"
	"slices"
	"time"
)

// Stats is what became of several runs.
type Stats struct {
	Runs   int     `json:"runs"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// statsOf needs one value at least.
func statsOf(values ...float64) Stats {
	return Stats{len(values), slices.Min(values), percentile(values, 50), slices.Max(values)}
}

// percentile is by the nearest rank: one of the values, but for the median of
// an even number, which lies in the middle.
func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if p == 50 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[max(0, int(math.Ceil(p/100*float64(n)))-1)]
}

// Cost is what one run of something took: time on the clock, and time of
// processors.
type Cost struct {
	Wall, CPU time.Duration
}

// floor is the time that stages take at the least, each of which was measured
// alone: as long as the slowest, and as long as all cores need for all of them.
func floor(cores int, stages ...Cost) time.Duration {
	var slowest, sum time.Duration
	for _, s := range stages {
		slowest = max(slowest, s.Wall)
		sum += s.CPU
	}
	return max(slowest, sum/time.Duration(cores))
}
