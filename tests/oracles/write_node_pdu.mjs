// Writes SMS-DELIVER and SMS-SUBMIT TPDUs with node-pdu: one record of lines.py for each segment of each wish {id, text, number}.
// It chooses coding and segments by itself, from the text alone.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Deliver, Submit, utils } = createRequire(`${process.env.NODE_PDU}/`)("node-pdu");

const SENT = new utils.SCTS(new Date("2024-02-29T23:59:58Z"), 0);

for await (const line of createInterface({ input: process.stdin })) {
  const wish = JSON.parse(line);
  if (wish.text === undefined || wish.total !== undefined) continue;
  const message = wish.submit
    ? new Submit(wish.number, wish.text)
    : new Deliver(wish.number, wish.text, { serviceCenterTimeStamp: SENT });
  for (const part of message.getParts()) {
    const record = { ...wish, tpdu: part.toString(message).slice(2), text: part.text };
    if (part.header) {
      record.reference = part.header.getPointer();
      record.total = part.header.getSegments();
      record.sequence = part.header.getCurrent();
    }
    process.stdout.write(`${JSON.stringify(record)}\n`);
  }
}
