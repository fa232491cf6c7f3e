package escrow

import (
	"fmt"
	"slices"
	"strings"
)

// Region is a jurisdiction in which an institution is active.
type Region string

// Vertical is a branch of finance in which an institution is active.
type Vertical string

// Regions lists every region, in the order in which it is documented.
func Regions() []Region { return []Region{"US", "EU_UK", "SG", "UAE"} }

// The verticals.
const (
	Construction Vertical = "CONSTRUCTION"
	TradeFinance Vertical = "TRADE_FINANCE"
)

// Verticals lists every vertical.
func Verticals() []Vertical { return []Vertical{Construction, TradeFinance} }

// ParseRegion reads a region's exact name.
func ParseRegion(text string) (Region, error) { return oneOf(text, Regions()) }

// oneOf reads one of a few known words.
func oneOf[T ~string](text string, known []T) (T, error) {
	if i := slices.Index(known, T(text)); i >= 0 {
		return known[i], nil
	}
	words := make([]string, len(known))
	for i, word := range known {
		words[i] = string(word)
	}
	return "", fmt.Errorf("must be one of %s", strings.Join(words, ", "))
}

// severalOf reads a list of different known words, at least one.
func severalOf[T ~string](f *Faults, field string, texts []string, known []T) []T {
	if len(texts) == 0 {
		f.Add(field, "must have at least one element")
	}
	var words []T
	for _, text := range texts {
		word, err := oneOf(text, known)
		f.check(field, err)
		if slices.Contains(words, word) {
			f.Add(field, "must not name %s twice", text)
		}
		words = append(words, word)
	}
	return words
}
