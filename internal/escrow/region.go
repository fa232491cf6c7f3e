package escrow

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
