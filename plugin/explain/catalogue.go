package explain

// catalogues lists the areas in the order in which they are asked: general
// entries come last, because their matches are the widest.
var catalogues = [][]Entry{
	gateEntries,
	catalogEntries,
	scaffoldEntries,
	edgeEntries,
	runEntries,
	logsEntries,
	reportEntries,
	dashboardEntries,
	driftEntries,
	projectEntries,
	setupEntries,
	doctorEntries,
	sandboxEntries,
	nodeimageEntries,
	gpuEntries,
	reloadEntries,
	agentEntries,
	promoteEntries,
	clusterWaveEntries,
	admissionEntries,
	connectionEntries,
	clusterEntries,
	generalEntries,
	hostEntries,
}
