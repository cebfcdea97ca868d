# needs: bash sort uniq tr sed awk
# says: jobs ended
# says: killed: 137
# ends: 7
# sees: pipe file process
# Pipelines, process substitution, background jobs, here-documents, traps.
seq 2000 | sort -r | uniq | tr 1 2 | sort | uniq -c | sort -n | tail -n 3 | sed 's/ *//'
diff <(seq 10) <(seq 2 11)
cat <(echo one) <(echo two) > both && tee >(tr a-z A-Z > upper) < both > lower; sleep 0.2; cat upper
for i in 1 2 3 4; do (exit "$i") & done
wait; echo "jobs ended"
cat <<TEXT | awk '{ n += NF } END { print n " words" }'
a here-document of $(echo six) words
TEXT
read -r line <<< "a here-string"; echo "$line"
exec 7> kept; echo kept >&7; exec 7>&-; cat kept
{ echo out; echo err >&2; } 2>&1 | sort
coproc bc_like { while read -r a b; do echo $((a + b)); done; }
echo 2 3 >&"${bc_like[1]}"; read -r sum <&"${bc_like[0]}"; echo "$sum"
eval "exec ${bc_like[1]}>&-"; wait
trap 'echo trapped' USR1; kill -USR1 $$
{ (kill -9 $BASHPID); } 2> /dev/null; echo "killed: $?"
false | true; echo "${PIPESTATUS[*]}"
exit 7
