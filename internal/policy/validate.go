package policy

// Malformed says why a document is not accepted, in AWS's words.
type Malformed struct {
	Message string
	Offset  int // byte offset of the fault in the text

	fault  fault
	detail string
}

func (m *Malformed) Error() string { return m.Message }
