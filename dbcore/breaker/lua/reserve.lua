-- Before a process makes its engine. ARGV: process, connections wanted, budget, silent_after. Returns what it may have.
return reserve(ARGV[1], tonumber(ARGV[2]), 1, 0, tonumber(ARGV[3]), tonumber(ARGV[4]))
