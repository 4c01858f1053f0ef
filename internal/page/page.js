const b = document.getElementById("copy");
if (navigator.clipboard) {
  b.hidden = false;
  b.onclick = () => navigator.clipboard.writeText(document.getElementById("data").textContent).then(() => { b.textContent = "copied"; });
}
