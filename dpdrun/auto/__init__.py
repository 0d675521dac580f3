"""From a capture to an exported predistorter (`dpdrun auto`): read, try, choose, score, export."""
