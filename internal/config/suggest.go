package config

// nearest returns the candidate that is most probably meant by word, or "" when
// none comes near: a third of the letters and one more may be wrong.
func nearest(word string, candidates []string) string {
	return within(len(word)/3+1, word, candidates)
}

// within returns the candidate that differs least from word, in at most the
// given number of letters; "" when there is none.
func within(most int, word string, candidates []string) string {
	best, least := "", most
	for _, candidate := range candidates {
		if d := distance(word, candidate); d <= least && (best == "" || d < least) {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of bytes that turn
// a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
