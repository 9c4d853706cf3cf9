//go:build !amd64

package srp

var hasIFMA = false

func mulIFMA(z, x, y, n *element) { panic("srp: no IFMA") }

func pickIFMA(z *element, table *[16]element, i uint64) { panic("srp: no IFMA") }
