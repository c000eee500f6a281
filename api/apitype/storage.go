package apitype

// StorageRotation says how far a rotation of the storage key is.
type StorageRotation struct {
	UnderWay bool   `json:"under_way" doc:"There is an older key beside the one in use; it goes once nothing is under it"`
	Done     int64  `json:"done" doc:"How many of the journal's values have been looked at"`
	Of       int64  `json:"of" doc:"How many there are; 0 before they were counted"`
	Lost     int64  `json:"lost" doc:"How many of them did not open before, and were left alone"`
	Error    string `json:"error" doc:"Why it does not go on; it is tried again"`
}
