// Oracle: node-pdu reads the TPDU. It knows the default alphabet and UCS-2; no national tables, and 8-bit data as characters.
// Speaks the lines of lines.py. NODE_PDU is the folder that holds node_modules.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { parse, utils } = createRequire(`${process.env.NODE_PDU}/`)("node-pdu");

const INTERNATIONAL = 1;
const NATIONAL_LANGUAGE = [0x24, 0x25];

function read(tpdu) {
  const pdu = parse(`00${tpdu}`);
  const answer = { number: (pdu.address.type.type === INTERNATIONAL ? "+" : "") + pdu.address.phone };
  const header = pdu.data.parts[0].header;
  if (header?.ies.some((element) => NATIONAL_LANGUAGE.includes(element.type))) return { unable: "no national tables" };
  if (header && header.getType() !== undefined) {
    answer.reference = header.getPointer();
    answer.total = header.getSegments();
    answer.sequence = header.getCurrent();
  }
  if (pdu.dataCodingScheme.textAlphabet === utils.DCS.ALPHABET_8BIT) {
    answer.data = Buffer.from(pdu.data.getText(), "latin1").toString("hex");
  } else {
    answer.text = pdu.data.getText();
  }
  return answer;
}

for await (const line of createInterface({ input: process.stdin })) {
  const record = JSON.parse(line);
  let answer;
  try {
    answer = read(record.tpdu);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify({ id: record.id, ...answer })}\n`);
}
