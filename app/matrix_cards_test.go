package app

// cardRows are the rows of the matrix for printing cards; everything lies in
// the village of "caseworker".
func cardRows() map[string]row {
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	return map[string]row{
		"getCardPrint": get(workers, "/api/v1/card-prints/none"),
		"showCards":    get(workersHere, "/cards?division="+village),
		// A layout that is none: who is let in needs no font to be told so.
		"showCardsPDF":   get(workersHere, "/cards/sheets.pdf?layout=none&division="+village),
		"showCardSheets": get(workersHere, "/cards/print?division="+village),
	}
}
