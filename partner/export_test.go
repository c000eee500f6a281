package partner

// CardsInMemory is how many cards the book holds verified.
func (b *Book) CardsInMemory() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.cards) + len(b.older)
}
