# needs: ls cksum
# says: ended with 2
# sees: dir file process pipe
# `ls -R` over a large tree (two seconds), and what it says of one that is not there.
ls -R /usr 2>&1 | cksum
ls -lR /etc 2>/dev/null | wc -l
ls /absent 2>&1
echo "ended with $?"
