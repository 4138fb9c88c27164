package proof

const rankSocket = "RELOADTEST_RANK_SOCKET"

func rankMain(string) {}
