// Renders with sharp as ipx calls it. One job a line on standard input: {"source", "width", "format", "quality", "target"}; one line when all are done.
//
//     NODE_PATH=.cache/ipx/node_modules node benchmarks/sharp.js < jobs

const sharp = require("sharp");

async function main() {
    const lines = require("node:fs").readFileSync(0, "utf8").trim().split("\n");
    for (const { source, width, format, quality, target } of lines.map(JSON.parse)) {
        await sharp(source).rotate().resize(width)[format]({ quality }).toFile(target);
    }
    console.log("done");
}

main();
