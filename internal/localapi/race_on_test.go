//go:build race

package localapi_test

// manyJoins is small: the race detector makes every goroutine expensive.
const manyJoins = 1_000
