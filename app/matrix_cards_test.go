package app

// cardRows are the rows of the matrix for printing cards; everything lies in
// the village of "caseworker".
func cardRows() map[string]row {
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	return map[string]row{
		"showCards":      get(workersHere, "/cards?division="+village),
		"showCardsPDF":   get(workersHere, "/cards/sheets.pdf?division="+village),
		"showCardSheets": get(workersHere, "/cards/print?division="+village),
	}
}
