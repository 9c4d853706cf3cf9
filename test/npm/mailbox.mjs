// A real SMTP server (RFC 5321) that writes each message it accepts to a folder: FOLDER/N.eml.
// usage: node mailbox.mjs PORT FOLDER
import { SMTPServer } from "smtp-server";
import { writeFileSync, renameSync } from "node:fs";
import { join } from "node:path";

const [port, folder] = process.argv.slice(2);
let n = 0;
const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ["STARTTLS", "AUTH"],
  onData(stream, session, done) {
    const parts = [];
    stream.on("data", (part) => parts.push(part));
    stream.on("end", () => {
      const name = join(folder, `${++n}.eml`);
      writeFileSync(name + ".part", Buffer.concat(parts));
      renameSync(name + ".part", name);
      done();
    });
  },
});
server.listen(Number(port), "127.0.0.1", () => console.log("ready"));
