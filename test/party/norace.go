//go:build !race

package party

const RaceDetector = false
