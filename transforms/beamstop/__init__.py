"""De-identify DICOM datasets: rules, identity, text hiding, leak check."""
