//go:build race

package e2e

// raceDetector tells that the daemons carry it, which multiplies their memory.
const raceDetector = true
