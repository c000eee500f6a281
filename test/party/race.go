//go:build race

package party

// RaceDetector tells that the daemons carry it, which multiplies their memory.
const RaceDetector = true
