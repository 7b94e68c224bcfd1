"""What a file's columns are, before anybody has said so: kinds, labels, language, personal data, duplicates.

columns    one column: identifiers, dates, numbers, few values, texts
parts      which column is read and which is asked, and why; what cannot be told apart is an error
labels     how labels are written, and which spellings mean one
language   which language texts are in, by their commonest words and their script
personal   what looks like personal data
header     whether the first line is a row
"""
