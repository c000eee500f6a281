// Package apitype holds the JSON types of the local API, shared by its server
// and its Go client. Their keys are the contract of docs/api.md, and what the
// command line prints with --json. Times are RFC 3339 in UTC.
//
// It holds no logic: it neither validates nor computes anything, and knows
// nothing of how the API is reached.
package apitype

// Prefix begins the path of every route of this version.
const Prefix = "/v1"

// Problem is an error (RFC 9457), sent as application/problem+json.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Kind says in one word what went wrong; programs may rely on it.
	Kind string `json:"kind" doc:"What went wrong, in one word that programs may rely on" enum:"internal,invalid,not-found,conflict,refused,quota,unavailable,timeout,full,damaged,unauthenticated,unreachable,gone"`
	Hint string `json:"hint,omitempty" doc:"Advice for the person who reads it"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Version says which program runs.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// Health is all that the API says to somebody without a token.
type Health struct {
	Status string `json:"status" enum:"ready"`
}

// Check is one finding of Doctor.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Doctor is what a check of the daemon and its surroundings found.
type Doctor struct {
	Checks []Check `json:"checks"`
}
